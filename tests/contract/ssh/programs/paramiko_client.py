"""What programs do with Paramiko. Arguments: port, key file, workspace, a port inside."""

import io
import os
import stat
import sys

import paramiko

port, key, workspace, inside = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect(
    "127.0.0.1", port, workspace, key_filename=key, allow_agent=False, look_for_keys=False
)

stdin, stdout, stderr = client.exec_command("tr a-z A-Z; echo over >&2; exit 3")
stdin.write("text")
stdin.channel.shutdown_write()
assert stdout.read() == b"TEXT"
assert stderr.read() == b"over\n"
assert stdout.channel.recv_exit_status() == 3

files = client.open_sftp()
sent = os.urandom(3_000_000)
files.mkdir("p")
files.putfo(io.BytesIO(sent), "p/sent")
got = io.BytesIO()
files.getfo("p/sent", got)
assert got.getvalue() == sent
with files.open("p/sent", "r+b") as file:
    file.seek(1000)
    file.write(b"changed")
    file.seek(1000)
    assert file.read(7) == b"changed"
    file.truncate(2000)
    assert file.stat().st_size == 2000
files.symlink("sent", "p/link")
assert files.readlink("p/link") == "sent"
assert stat.S_ISLNK(files.lstat("p/link").st_mode)
files.posix_rename("p/sent", "p/other")
files.chmod("p/other", 0o604)
files.utime("p/other", (1000, 2000))
names = {entry.filename: entry for entry in files.listdir_attr("p")}
assert set(names) == {"link", "other"}
assert stat.S_IMODE(names["other"].st_mode) == 0o604
assert names["other"].st_mtime == 2000
assert files.normalize(".").endswith("/home")
try:
    files.stat("p/none")
except FileNotFoundError:
    pass
else:
    raise AssertionError
files.remove("p/other")
files.remove("p/link")
files.rmdir("p")

channel = client.get_transport().open_channel(
    "direct-tcpip", ("localhost", inside), ("127.0.0.1", 1)
)
channel.sendall(b"abc")
channel.shutdown_write()
assert channel.recv(100) == b"cba"
try:
    client.get_transport().open_channel("direct-tcpip", ("10.0.0.1", 80), ("127.0.0.1", 1))
except paramiko.ChannelException as error:
    assert error.code == 1
else:
    raise AssertionError
client.close()
print("all")
