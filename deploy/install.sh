#!/bin/sh
# Put the terminal or the service on this machine: Debian 12 or newer, or Raspberry Pi OS. Root is needed; again is harmless.
#   deploy/install.sh terminal | identity
# DESTDIR=DIR puts only the files there and runs nothing: for packages, images and tests.
set -eu
role=${1:-}
case $role in terminal | identity) ;; *) echo "usage: deploy/install.sh terminal|identity" >&2; exit 2 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
tree=$(dirname "$here")
dest=${DESTDIR:-}
venv=/opt/palm-till

put() { # mode, source, target folder, name
  install -D -m "$1" "$2" "$dest$3/$4"
}

for unit in "$here/$role"/*.service; do
  put 644 "$unit" /etc/systemd/system "$(basename "$unit")"
done
put 644 "$here/$role/palm-$role.sysusers" /usr/lib/sysusers.d "palm-$role.conf"
put 644 "$here/$role/palm-$role.tmpfiles" /usr/lib/tmpfiles.d "palm-$role.conf"
if [ "$role" = terminal ]; then
  put 644 "$here/terminal/70-palm-terminal.rules" /etc/udev/rules.d 70-palm-terminal.rules
  put 644 "$here/terminal/palm-watchdog.conf" /etc/systemd/system.conf.d palm-watchdog.conf
  put 644 "$here/terminal/palm-privacy.conf" /etc/systemd/coredump.conf.d palm-privacy.conf
fi
[ -z "$dest" ] || exit 0

[ "$(id -u)" = 0 ] || { echo "root is needed: sudo deploy/install.sh $role" >&2; exit 2; }
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed" >&2; exit 2; }
if [ "$role" = terminal ]; then
  # The camera's and the pins' libraries belong to the board's system; pip copies of them break with its upgrades.
  for module in picamera2 libcamera lgpio gpiozero; do
    python3 -c "import $module" 2>/dev/null || missing="${missing:-} $module"
  done
  [ -z "${missing:-}" ] || echo "note: not here:$missing. On a Pi: apt install python3-picamera2 python3-lgpio python3-gpiozero"
  extras=""
else
  extras="[identity]"
fi
[ -x $venv/bin/python ] || python3 -m venv --system-site-packages $venv || {
  echo "Python's venv is missing: apt install python3-venv" >&2
  exit 2
}
$venv/bin/pip install --quiet --disable-pip-version-check --upgrade "$tree$extras"
systemd-sysusers
# An image's root has no /proc for systemd-tmpfiles; there the folder is made by hand, and at every boot anyway.
systemd-tmpfiles --create "/usr/lib/tmpfiles.d/palm-$role.conf" 2>/dev/null ||
  install -d -m 700 -o "palm-$role" -g "palm-$role" "/var/lib/palm-$role"
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  udevadm control --reload || true # a container has no udev
  if [ "$role" = terminal ]; then
    systemctl enable palm-provision.service palm-terminal.service
  else
    systemctl enable palm-identity.service
  fi
fi
echo "palm-$role is installed in $venv. Next: deploy/README.md"
