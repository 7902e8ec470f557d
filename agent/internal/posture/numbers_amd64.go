package posture

// Numbers that package syscall does not have.
const (
	sysBPF            = 321
	sysUserfaultfd    = 323
	sysOpenByHandleAt = 304
	sysSetns          = 308
	sysProcessVMReadv = 310
)
