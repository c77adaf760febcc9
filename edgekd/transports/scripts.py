"""What is said to the shell of a device.

Everything here is POSIX sh, as dash, bash, ash and Android's mksh know it, with a handful of
programs that every Linux board and every phone has: cat, date, ln, mkdir, mktemp, mv, readlink,
rm, sleep, uname, wc, and setsid where it is there. No Python, no scp, no sftp.

**The keeper** runs on the device as long as the transport lives. It holds the lock and the work
folder, and does what it is told on standard input, a word a line. When that is closed, because the
transport was closed, or because edgekd was killed, the network was cut, or the cable pulled, it
ends what still runs, removes the folder and frees the lock. So nothing stays behind, whatever
happens on this side.

A lock whose keeper is gone is taken away under a second lock, ``.take``: otherwise two that found
it stale at once could take away each other's new one.

**Commands** are started by `RUN`. A line with a random mark begins their output; another one ends
what they print on standard error and gives their exit code. Where that line is missing, the
connection broke: ssh's 255 and adb's 1 need no guessing, nor does an old adb that returns no codes.
"""

from __future__ import annotations

#: When a process began, in ticks after the start of the machine; fails where there is none.
#: A number can be given to another process later: number and beginning together cannot.
_BORN = r"""
born() {
  if read -r line 2>/dev/null <"/proc/$1/stat"; then
    line=${line##*) }; set -f; set -- $line; set +f; echo "${20}"
  elif [ -d /proc/self ]; then return 1
  else kill -0 "$1" 2>/dev/null && echo 0
  fi
}
"""

#: Arguments: the mark, where the lock is, the folder to work in ("-": none; "": the usual one),
#: and who asks. `EDGEKD_LOCK` in the device's environment names another lock; empty: none.
KEEPER = (
    _BORN
    + r"""
export LC_ALL=C CDPATH=
umask 077
mark=$1 lock=${EDGEKD_LOCK-$2} base=${3:-${TMPDIR:-/tmp}} owner=$4 folder=
say() { printf '%s %s\n' "$mark" "$*"; }
stop() {
  for file in "$1"/.running.*; do
    [ -e "$file" ] || continue
    pid=${file##*/.running.}; began=${pid#*.}; pid=${pid%%.*}
    [ "$(born "$pid")" = "$began" ] || continue
    kill -s KILL -- "-$pid" 2>/dev/null || kill -s KILL "$pid" 2>/dev/null
  done
}
sweep() {
  case $1 in */edgekd-??????) ;; *) return ;; esac
  stop "$1"
  rm -rf -- "$1" 2>/dev/null || { sleep 1; rm -rf -- "$1"; }
}
finish() {
  trap '' HUP INT TERM
  sweep "$folder"
  [ -z "$lock" ] || [ "$(readlink "$lock" 2>/dev/null)" != "$mine" ] || rm -f "$lock"
}
alive() {
  [ "$3" = "boot=$boot" ] && [ "$(born "${1#pid=}")" = "${2#began=}" ]
}
take() {
  ln -s "$mine" "$lock.take" 2>/dev/null || {
    taker=$(readlink "$lock.take") && { alive $taker || rm -f "$lock.take"; }
    return
  }
  found=$(readlink "$lock")
  [ "$found" = "$1" ] || { rm -f "$lock.take"; return; }
  set -f; set -- $1; set +f
  if alive "$@"; then kill -s KILL "${1#pid=}"; fi
  rm -f "$lock" "$lock.take"
  sweep "${found#* folder=}"
}
try() {
  [ -n "$lock" ] || { say mine; return; }
  error=$(ln -s "$mine" "$lock" 2>&1) && [ "$(readlink "$lock")" = "$mine" ] && {
    say mine; return; }
  held=$(readlink "$lock" 2>/dev/null)
  case $held in
    pid=*)
      if alive $held; then say busy "$held"; return; fi
      take "$held"; say again ;;
    *)
      if [ -e "$lock" ] || [ ! -w "${lock%/*}" ]; then say error "$error"; else say again; fi ;;
  esac
}
case $base in
  -) ;;
  *)
    case $base in '~'|'~/'*) base=$HOME${base#'~'} ;; esac
    cd -- "$base" 2>/dev/null || { say nofolder "$base"; exit 0; }
    base=$(pwd -P)
    folder=$(mktemp -d "${base%/}/edgekd-XXXXXX" 2>&1) || { say nofolder "$folder"; exit 0; }
    cd / ;;
esac
trap '' PIPE
trap finish EXIT
trap 'exit 0' HUP INT TERM
read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id || boot=unknown
since=$(date -u +%Y-%m-%dT%H:%M:%SZ)
mine="pid=$$ began=$(born $$) boot=$boot owner=$owner since=$since folder=$folder"
say folder "$folder"
say lock "$lock"
say home "$HOME"
say system "$(uname -s)"
say machine "$(uname -m)"
say python "$(command -v python3 2>/dev/null)"
say ready
while IFS= read -r word; do
  case $word in
    try) try ;;
    take\ *) take "${word#take }"; try ;;
    stop) stop "$folder"; say stopped ;;
  esac
done
exit 0
"""
)

#: Arguments: the mark, the work folder, the program, and the whole command.
RUN = (
    _BORN
    + r"""
mark=$1 folder=$2 program=$3
shift 3
exec 4>&2 2>/dev/null
printf '%s\n' "$mark"
end() { printf '\n%s %s\n' "$mark" "$1" >&4; exit 0; }
command -v "$program" >/dev/null || end missing
if command -v setsid >/dev/null; then set -- setsid "$@"; fi
"$@" </dev/null 2>&4 4>&- &
pid=$!
running="$folder/.running.$pid.$(born "$pid")"
: >"$running"
wait "$pid"
code=$?
rm -f "$running"
end "$code"
"""
)


def _step(body: str) -> str:
    """Return the script of a small step. Arguments: the mark, and those of the step."""
    return f"""
export LC_ALL=C
mark=$1
shift
printf '%s\\n' "$mark"
step() {{
{body}
}}
step "$@"
printf '\\n%s %s\\n' "$mark" "$?" >&2
"""


#: Standard input into the file $1, whose folder is made.
RECEIVE = _step('{ [ -d "${1%/*}" ] || mkdir -p -- "${1%/*}"; } && cat >"$1"')
#: The file $1, if it has $3 bytes, becomes $2.
SETTLE = _step(
    'size=$(($(wc -c <"$1"))) || return 2\n'
    '[ "$size" -eq "$3" ] || { echo "$size of $3 bytes arrived" >&2; return 3; }\n'
    'mv -f -- "$1" "$2"'
)
#: Whether the file $1 is there with $2 bytes.
THERE = _step('[ -f "$1" ] && [ "$(($(wc -c <"$1")))" -eq "$2" ]')
#: The size of the file $1.
SIZE = _step('[ -f "$1" ] || { cat -- "$1" >/dev/null; return 1; }\necho "$(($(wc -c <"$1")))"')
#: Whether the file $1 is native code.
NATIVE = _step('read -r first <"$1"; case $first in ?ELF*) ;; *) return 1 ;; esac')
#: The file $1 to standard output.
SEND = _step('cat -- "$1"')
#: Remove the file $1.
DISCARD = _step('rm -f -- "$1"')
#: What a board or a phone says of itself, each as ``name=value``.
DESCRIBE = _step(
    "if command -v getprop >/dev/null; then\n"
    'echo "model=$(getprop ro.product.model)"\n'
    'echo "android=$(getprop ro.build.version.release)"\n'
    'echo "abi=$(getprop ro.product.cpu.abi)"\n'
    "elif [ -r /proc/device-tree/model ]; then\n"
    'read -r model </proc/device-tree/model; echo "model=$model"\n'
    "fi 2>/dev/null\ntrue"
)
