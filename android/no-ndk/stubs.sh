#!/usr/bin/env bash
# stubs.sh ABI OUT: libc.so, libm.so, libdl.so and liblog.so with the names of bionic.symbols and no code, and the start
# object of a shared library. Enough to link for Android without the NDK, useless to run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
abi=$1 out=$2
. "$here/abi.sh" "$abi"
mkdir -p "$out"

assemble() { llvm-mc-22 --triple="$triple" -filetype=obj -o "$1" -; }

for library in libc libm libdl liblog; do
    awk -v want="[$library]" '
        /^#/ { next }
        /^\[/ { inside = $0 == want; next }
        !inside { next }
        $1 == "data:" { for (i = 2; i <= NF; i++) data[$i] = 1; next }
        { for (i = 1; i <= NF; i++) code[$i] = 1 }
        END {
            print ".text"
            for (s in code) printf ".globl %s\n.type %s, %%function\n%s:\n.byte 0\n.size %s, 1\n", s, s, s, s
            print ".data"
            for (s in data) printf ".globl %s\n.type %s, %%object\n%s:\n.quad 0\n.size %s, 8\n", s, s, s, s
        }' "$here/bionic.symbols" | sed "s/%\(function\|object\)/$type_mark\1/" | assemble "$out/$library.o"
    version=()
    if [ "$library" != liblog ]; then # bionic versions the symbols of these as LIBC
        echo 'LIBC { global: *; };' >"$out/version"
        version=(--version-script="$out/version")
    fi
    ld.lld-22 -m "$emulation" -shared -soname "$library.so" "${version[@]}" -o "$out/$library.so" "$out/$library.o"
done

# What the NDK's crtbegin_so.o contributes: the library's own handle, and the note that names the API level.
assemble "$out/crtbegin_so.o" <<A
.data
.hidden __dso_handle
.globl __dso_handle
.p2align 3
__dso_handle:
.quad __dso_handle
.section .note.android.ident, "a", ${type_mark}note
.p2align 2
.long 8, 4, 1
.asciz "Android"
.long 24
A
# The unwinder comes from the crate `unwinding` in this build; rustc asks for the library by name all the same.
rm -f "$out/libunwind.a"
llvm-ar-22 rcs "$out/libunwind.a"
