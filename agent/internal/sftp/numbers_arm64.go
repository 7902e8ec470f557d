package sftp

const sysRenameat2 = 276
