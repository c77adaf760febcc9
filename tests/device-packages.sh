#!/bin/sh
# Sees to it that the packages of devices/packages.txt are there: root gets those that are missing,
# anybody else is told what to type.
set -eu
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "emulated devices stand on Debian or Ubuntu: this machine has no dpkg-query and apt-get" >&2
  exit 3
fi
missing=
for package in $(sed 's/#.*//' "$(dirname "$0")/../devices/packages.txt"); do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "emulated devices need Debian packages that are missing, and root. Type:" >&2
  echo "  apt-get install$missing" >&2
  exit 3
fi
echo "installing$missing"
apt-get update --quiet=2
DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends $missing
