#!/bin/sh
# Runs a program for Linux on a machine of its own, in QEMU: run.sh PROGRAM ARGUMENTS, as cargo's `runner`.
# It is for what depends on the kernel: QEMU for single programs passes on what this machine's Linux does, which knows nothing of another
# processor's restartable sequences. The machine has the kernel of Debian's installer, and a file system in memory with the program and
# what it is linked to. Arguments have no spaces in them. It is there for ten minutes at most; whether the program succeeded is read from its last line.
# With COUNT=1 each instruction takes a nanosecond of the machine's time, so that the program's clock counts instructions. A debugger
# cannot: its steps restart a sequence.
set -eu
program=$(realpath "$1")
shift
case $(od -An -tu2 -j18 -N2 "$program" | tr -d ' ') in # The machine that an ELF file is for.
62)
    kernel=amd64 libraries=
    qemu="qemu-system-x86_64 -cpu max" console=ttyS0
    ;;
183)
    kernel=arm64 libraries=/usr/aarch64-linux-gnu
    qemu="qemu-system-aarch64 -machine virt,gic-version=3 -cpu cortex-a72" console=ttyAMA0
    ;;
*)
    echo "run.sh: $program is for no machine that is known here" >&2
    exit 2
    ;;
esac
if [ "${COUNT:-0}" = 1 ]; then
    clock="-accel tcg -icount shift=0,sleep=off"
else
    clock="-smp 4 -accel tcg,thread=multi"
fi
installer=/usr/lib/debian-installer/images/12/$kernel/text/debian-installer/$kernel

files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
cd "$files"
mkdir -p root/proc root/dev root/tmp
# For another processor all libraries lie in one folder.
if [ -n "$libraries" ]; then
    mkdir root/lib
    cp "$libraries"/lib/ld-linux-*.so.1 "$libraries/lib/libc.so.6" "$libraries/lib/libgcc_s.so.1" "$libraries/lib/libm.so.6" root/lib
else
    for library in $(ldd "$program" | grep -o '/[^ ]*'); do
        mkdir -p "root$(dirname "$library")"
        cp "$library" "root$library"
    done
fi
ln "$program" root/program 2>/dev/null || cp "$program" root/program
(cd root && gzip -cd "$installer/initrd.gz" | cpio --extract --make-directories --quiet bin/busybox)
cat >root/init <<'END'
#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
/program "$@"
echo "The program ended with status $?."
busybox poweroff -f
END
chmod +x root/init
(cd root && find . | cpio --create --format=newc --quiet) >initrd

# After `--` come the arguments of `init`, before it options of the kernel and the environment.
timeout --foreground 600 $qemu $clock -m 2G -display none -serial stdio -monitor none -nic none -no-reboot \
    -kernel "$installer/linux" -initrd initrd \
    -append "quiet console=$console tsc=reliable panic=-1 rdinit=/init RUST_BACKTRACE=0 COREHEAP_CORES=${COREHEAP_CORES:-} COREHEAP_TEST_EMULATOR= COREHEAP_TEST_SEQUENCES=1 -- $*" \
    </dev/null | tee output | tr -d '\r'
grep -q '^The program ended with status 0\.' output
