#!/bin/sh
# Runs a Windows program that cargo built, under Wine (cargo's `runner`): run.sh PROGRAM ARGUMENTS
# What Wine keeps, it keeps beside what cargo built; the first run makes it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "$1")
shift
export WINEPREFIX="${program%%/x86_64-pc-windows-gnu/*}/wine"
# Crashes end the program, with no debugger and no window.
export WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=;winedbg.exe=d"
unset DISPLAY WAYLAND_DISPLAY
system32="$WINEPREFIX/drive_c/windows/system32"
mkdir -p "$WINEPREFIX"
(
    flock 9
    [ -e "$WINEPREFIX/made" ] && exit
    wine wineboot --init
    wineserver --wait || true
    [ -e "$system32/bcryptprimitives.dll" ] ||
        x86_64-w64-mingw32-gcc -shared -O2 -o "$system32/bcryptprimitives.dll" "$here/bcryptprimitives.c" -ladvapi32
    touch "$WINEPREFIX/made"
) 9>"$WINEPREFIX/lock"
exec wine "$program" "$@"
