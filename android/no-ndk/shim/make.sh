#!/usr/bin/env bash
# make.sh OUT: libc.so, libm.so and libdl.so with bionic's names on top of glibc, so that a program for ARM Linux can load
# and run an Android library under emulation. For tests only: where the two systems differ, own.c stands between.
#
# Each name of bionic.symbols becomes a jump through a pointer that is looked up in glibc when the shim is loaded; the
# versions and sonames are bionic's.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
mkdir -p "$out"
echo 'LIBC { global: *; };' >"$out/version"

names() { # library: its functions, one per line
    awk -v want="[$1]" '/^#/ { next } /^\[/ { inside = $0 == want; next } inside && $1 != "data:" { for (i = 1; i <= NF; i++) print $i }' \
        "$here/../bionic.symbols"
}
# Looks things up from outside of the shim: inside, its own dlsym would be found.
aarch64-linux-gnu-gcc -O1 -fPIC -shared -o "$out/libfind.so" "$here/find.c"
own=$(sed -n 's/.*BIONIC(\([a-z_]*\)).*/\1/p' "$here/own.c")

shim() { # library, glibc's file, further source
    local library=$1 real=$2 forwarded
    shift 2
    forwarded=$(names "$library" | grep -vxF "$own")
    {
        echo '#include <stdio.h>'
        echo '#include <stdlib.h>'
        echo 'static void missing(void) { fputs("bionic shim: glibc has no such function", stderr); abort(); }'
        for name in $forwarded; do echo "__attribute__((visibility(\"hidden\"))) void *real_$name = missing;"; done
        echo '__attribute__((constructor)) static void look_up(void) {'
        echo '  extern void *find_in_glibc(const char *, const char *);'
        echo '  void *found;'
        for name in $forwarded; do echo "  if ((found = find_in_glibc(\"$real\", \"$name\"))) real_$name = found;"; done
        echo '}'
    } >"$out/$library-table.c"
    for name in $forwarded; do
        printf '.text\n.globl %s\n.type %s, %%function\n%s:\nadrp x16, real_%s\nldr x16, [x16, :lo12:real_%s]\nbr x16\n' \
            "$name" "$name" "$name" "$name" "$name"
    done >"$out/$library-jumps.S"
    aarch64-linux-gnu-gcc -O1 -fPIC -shared -fno-builtin -w -Wl,-Bsymbolic -Wl,-soname,"$library.so" \
        -Wl,--version-script="$out/version" -Wl,-rpath,'$ORIGIN' -o "$out/$library.so" "$out/$library-table.c" "$out/$library-jumps.S" "$@" "$out/libfind.so"
}
shim libc libc.so.6 "$here/own.c"
shim libm libm.so.6
shim libdl libc.so.6
