# . abi.sh ABI: what the tools call an Android ABI.
case ${1:?ABI} in
arm64-v8a) triple=aarch64-linux-android emulation=aarch64linux type_mark=% ;;
x86_64) triple=x86_64-linux-android emulation=elf_x86_64 type_mark=@ ;;
*) echo "no such ABI: $1" >&2; exit 2 ;;
esac
