#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# autogen.sh - from a fresh checkout to a build, to a running relay, to every test.
#
#	./autogen.sh		makes ./configure (then: ./configure && make && make install)
#	./autogen.sh run	installs what is missing, builds under build/, starts a relay with a
#				throw-away configuration, sends a message through it, stays up
#	./autogen.sh check	the same without staying up, then every test
#
# run and check work on Debian 12 as root or as a user with sudo, and write only below this folder
# and where the package manager does.
set -eu
cd "$(dirname "$0")"
umask 022 # a relay refuses modules and settings that everybody may change

# What it is built with, and what the tests talk to. Nothing here starts a daemon when installed.
build_packages="autoconf automake libtool make gcc pkg-config libc6-dev libcrypt-dev libltdl-dev libyaml-dev
	libssl-dev libglib2.0-dev libsqlite3-dev libsodium-dev libgsasl-dev libjansson-dev libarchive-dev
	libgmime-3.0-dev libidn2-dev libsystemd-dev libdeflate-dev libcurl4-openssl-dev libldap-dev libunbound-dev
	libmicrohttpd-dev libgpgme-dev gpg check openssl ca-certificates python3"
test_packages="swaks libnet-ssleay-perl msmtp curl nodejs node-nodemailer clang-14 libclang-rt-14-dev llvm-14
	clang-format-14 uidmap util-linux procps git python3-prometheus-client
	sq rnp gpg-agent mandoc python3-jsonschema python3-yaml bind9-utils iproute2 gpgsm libnss3-tools"

say() {
	printf '\n== %s\n' "$*"
}

missing() {
	for package; do
		case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
		*' installed') ;;
		*) printf '%s ' "$package" ;;
		esac
	done
}

install_packages() {
	wanted=$(missing "$@")
	[ -n "$wanted" ] || return 0
	say "installing: $wanted"
	sudo=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || {
			echo "autogen.sh: not root and no sudo; please install: $wanted" >&2
			exit 1
		}
		sudo=sudo
	fi
	# A machine that has just started may be installing its own updates: wait for that.
	apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
	# shellcheck disable=SC2086 # lists of words
	$apt update && $apt install -y --no-install-recommends $wanted
}

bootstrap() {
	mkdir -p m4
	autoreconf --force --install --warnings=no-portability >autogen.log 2>&1 || {
		cat autogen.log >&2
		exit 1
	}
}

build() {
	[ -x configure ] && [ configure -nt configure.ac ] && [ configure -nt Makefile.am ] || bootstrap
	mkdir -p build
	[ -f build/Makefile ] || (cd build && ../configure --quiet --enable-werror)
	say "building"
	make -s -C build -j"$(nproc)"
}

case ${1:-} in
'')
	bootstrap
	echo "Now: ./configure && make && make install"
	;;
run)
	# shellcheck disable=SC2086
	install_packages $build_packages
	build
	exec python3 tests/demo.py --build build --stay
	;;
check)
	# shellcheck disable=SC2086
	install_packages $build_packages $test_packages
	build
	python3 tests/demo.py --build build
	say "testing"
	exec python3 tests/run.py --build build
	;;
*)
	sed -n '3,12s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
