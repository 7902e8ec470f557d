package sftp

const sysRenameat2 = 316
