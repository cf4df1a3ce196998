#!/bin/sh
# Runs a program for AArch64 Linux that cargo built, on a machine of its own (cargo's `runner`): run.sh PROGRAM ARGUMENTS
# QEMU for single programs passes on what this machine's Linux does, which knows nothing of another processor's restartable sequences.
# So this is a whole machine: the kernel of Debian's installer, and a file system in memory with the program and what it is linked to.
# Arguments have no spaces in them.
set -eu
installer=/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64
libraries=/usr/aarch64-linux-gnu/lib
program=$(realpath "$1")
shift

files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
cd "$files"
mkdir -p root/proc root/dev root/tmp root/lib
cp "$libraries/ld-linux-aarch64.so.1" "$libraries/libc.so.6" "$libraries/libgcc_s.so.1" root/lib
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

# What is after `--` are the arguments of `init`, what is before its environment.
timeout --foreground 600 qemu-system-aarch64 -machine virt,gic-version=3 -cpu cortex-a72 -smp 4 -m 2G -accel tcg,thread=multi \
    -display none -serial stdio -monitor none -nic none -no-reboot -kernel "$installer/linux" -initrd initrd \
    -append "quiet panic=-1 rdinit=/init RUST_BACKTRACE=0 COREHEAP_TEST_EMULATOR= COREHEAP_TEST_SEQUENCES=1 -- $*" </dev/null | tee output | tr -d '\r'
grep -q '^The program ended with status 0\.' output
