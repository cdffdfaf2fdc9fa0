#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Brings a Debian machine to where Flowgauge runs (`setup.sh demo`) or is tested (`setup.sh test`): Debian packages by apt-get
# when root, a virtual environment from hash-locked requirements, Node for the console's build. `setup.sh check` is Python only.
# Says first what it will fetch; does nothing that is already done.
set -euo pipefail
cd "$(dirname "$0")/.."

goal=${1:-demo}
venv=.venv

# What the demo runs on: libbpf and clang for the eBPF program, iproute2/nftables/ethtool for the scene, PostgreSQL, a DNS server.
demo_packages="clang llvm libbpf1 libbpf-dev linux-libc-dev make iproute2 nftables ethtool util-linux procps curl postgresql dnsmasq-base python3 python3-venv"
# What only tests need: independent tools that count the same traffic, and a browser.
test_packages="iptables tshark tcpdump nfdump nfdump-sflow softflowd pmacct openvswitch-switch conntrack bpftool chromium iperf3 iputils-ping netcat-openbsd zsh fish"

# What is fetched, in MB, to say it beforehand: measured on Debian 12, amd64, in November 2026.
declare -A megabytes=([runtime]=270 [demo]=14 [dev]=174 [node]=60 [npm]=110 [debian_demo]=120 [debian_test]=320)

say() { printf '\033[1m%s\033[0m\n' "$*"; }
fail() { printf 'flowgauge: %s\n' "$*" >&2; exit 3; }

missing_packages() {
  for package in $1; do
    # Any release's server will do; "postgresql" is only the name of the newest.
    [ "$package" = postgresql ] && compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && continue
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
  done
}

system_packages() {
  local missing
  command -v dpkg-query >/dev/null || { say "Not a Debian machine: install the equivalents of: $1"; return 0; }
  missing=$(missing_packages "$1" | tr '\n' ' ')
  [ -z "${missing// /}" ] && return 0
  [ "$(id -u)" = 0 ] || fail "these Debian packages are missing: ${missing}- run this as root (sudo make …), or install them first: sudo apt-get install -y --no-install-recommends $missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  case " $missing" in *" postgresql "*) no_main_cluster ;; esac
  say "Debian packages ($(apt-get install --no-install-recommends --assume-no $missing 2>/dev/null | sed -n 's/^Need to get \(.*\) of archives.*/\1/p')): $missing"
  apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold $missing
}

# PostgreSQL's package would start a server of its own on port 5432; the demo brings its own data folder.
no_main_cluster() {
  local conf=/etc/postgresql-common/createcluster.conf
  if ! grep -qs '^[[:space:]]*create_main_cluster' "$conf"; then
    mkdir -p "${conf%/*}"
    echo 'create_main_cluster = false' >>"$conf"
  fi
}

find_python() {
  for candidate in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return 0
    fi
  done
  fail "Python 3.11 or newer with its venv module is missing (Debian: apt-get install python3 python3-venv)"
}

requirements() { # name
  local file=requirements/$1.txt stamp=$venv/.installed-$1
  cmp -s "$file" "$stamp" && return 0
  say "Python packages: $1 (about ${megabytes[$1]} MB)"
  "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes --no-deps --progress-bar off -r "$file" |
    awk -v n="$(grep -c '^[a-z].*==' "$file")" '/^Collecting/ { printf "  %d/%d %s\n", ++i, n, $2; fflush() } /^Installing/ { print "  installing"; fflush() }'
  cp "$file" "$stamp"
}

python_environment() {
  if ! "$venv/bin/python" -c 'import sys' 2>/dev/null; then
    say "Virtual environment in $venv"
    "$(find_python)" -m venv --clear "$venv"
  fi
  requirements runtime
  requirements demo
  [ "$goal" = demo ] || requirements dev
  # The package runs from the tree: one line that Python reads at start.
  local here="$PWD/src" path
  path=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/flowgauge.pth
  [ "$(cat "$path" 2>/dev/null)" = "$here" ] || echo "$here" >"$path"
}

no_node() { [ "$goal" != check ] && ! tools/node --version >/dev/null 2>&1; }

# Says what will be fetched before anything is; silent when all is there.
first_look() {
  local total=0 what=() name count
  count=$(if command -v dpkg-query >/dev/null; then missing_packages "$packages"; fi | wc -l)
  if [ "$count" -gt 0 ]; then
    what+=("$count Debian packages and what they need")
    total=$((total + megabytes[debian_$goal] * count / $(wc -w <<<"$packages")))
  fi
  for name in runtime demo $([ "$goal" = demo ] || echo dev) $(no_node && echo node); do
    cmp -s "requirements/$name.txt" "$venv/.installed-$name" && continue
    what+=("Python packages of $name")
    total=$((total + megabytes[$name]))
  done
  if [ "$goal" != check ] && [ ! -e ui/node_modules/.installed ]; then
    what+=("npm packages of the console")
    total=$((total + megabytes[npm]))
  fi
  if [ "${#what[@]}" -gt 0 ]; then
    say "To be fetched, about $total MB:"
    printf '  %s\n' "${what[@]}"
    [ -w . ] || fail "$PWD is not writable for $(id -un): run this as the folder's owner"
  fi
}

case "$goal" in
  demo) packages=$demo_packages ;;
  test) packages="$demo_packages $test_packages" ;;
  check) packages= ;;
  *) fail "usage: tools/setup.sh demo|test|check" ;;
esac
first_look
[ -z "$packages" ] || system_packages "$packages"
python_environment
if no_node; then requirements node; fi
