#!/bin/bash
# What `cmake --install` puts where, and that a program can be built with it and nothing else.
# SPDX-License-Identifier: MPL-2.0
#
# install.sh BUILD SOURCE

set -euo pipefail

build=$1
source=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/leat-test-XXXXXX")
trap 'rm -rf "$work"' EXIT

fail () {
    echo "FAILED: $*"
    exit 1
}

cmake --install "$build" --prefix "$work/prefix" > "$work/log" || { cat "$work/log"; exit 1; }
# Moved afterwards: nothing may remember where it was put.
mv "$work/prefix" "$work/moved"
prefix=$work/moved

has () {
    compgen -G "$prefix/$1" > /dev/null || fail "$1 is not installed"
}

has bin/leat
has include/leat.h
[ -n "$(find "$prefix" -name leat.pc)" ] || fail "leat.pc is not installed"
for page in "$source"/man/*.1; do
    has "share/man/man1/$(basename "$page")"
done
has 'share/bash-completion/completions/leat'

"$prefix/bin/leat" --version > /dev/null || fail "the installed program does not run"
man -l "$prefix/share/man/man1/leat.1" > /dev/null 2>&1 || ! command -v man > /dev/null ||
    fail "man cannot show leat.1"
# shellcheck disable=SC1091
bash -c ". '$prefix/share/bash-completion/completions/leat'" || fail "the completion cannot be read"

pc=$(dirname "$(find "$prefix" -name leat.pc)")
export PKG_CONFIG_PATH=$pc
mkdir "$work/program"
cp "$source/examples/produce.c" "$work/program/"
cd "$work/program"
# shellcheck disable=SC2046
cc -Wall -Werror produce.c -o produce $(pkg-config --cflags --libs leat) ||
    fail "examples/produce.c cannot be built with pkg-config"
LD_LIBRARY_PATH=$(dirname "$pc") ldd produce | grep libleat | grep -qF "$prefix" ||
    fail "the example does not use the installed library"
