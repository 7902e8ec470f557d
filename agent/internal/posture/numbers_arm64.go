package posture

// Numbers that package syscall does not have.
const (
	sysBPF            = 280
	sysUserfaultfd    = 282
	sysOpenByHandleAt = 265
	sysSetns          = 268
	sysProcessVMReadv = 270
)
