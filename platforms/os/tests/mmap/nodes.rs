//! NUMA nodes. A machine with one shows that the system was told, one with several where memory lies as well.

use std::alloc::Layout;
use std::fs;
use std::ptr::{NonNull, null_mut};

use coreheap_os::coreheap::{PageSource, Region};
use coreheap_os::{Mmap, NodeError, OsHeap};

use crate::regions::{at, fill};
use crate::remap::reserve_for_block;
use crate::support::{MIB, in_child, is_emulated, page, request, reserve, skip};

const MPOL_F_NODE: libc::c_int = 1;
const MPOL_F_ADDR: libc::c_int = 2;

/// The nodes with memory, if the system lets this process choose.
fn nodes() -> Vec<usize> {
    let check = Mmap::new().on_node(0).check_node();
    let Ok(text) = fs::read_to_string("/sys/devices/system/node/has_memory") else {
        skip("this kernel knows no nodes");
        return Vec::new();
    };
    if check == Err(NodeError::Refused) {
        skip("nodes may not be chosen here");
        return Vec::new();
    }
    let mut nodes = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        nodes.extend(first.parse().expect("a number")..=last.parse::<usize>().expect("a number"));
    }
    nodes.retain(|node| Mmap::new().on_node(*node).check_node().is_ok());
    println!("nodes {nodes:?}");
    nodes
}

/// The policy at an address, and the nodes that it names, of the first 64.
fn policy(address: NonNull<u8>) -> (libc::c_int, u64) {
    let (mut mode, mut nodes) = (-1, [0u64; 16]);
    // SAFETY: room for both answers.
    let result =
        unsafe { libc::syscall(libc::SYS_get_mempolicy, &raw mut mode, nodes.as_mut_ptr(), 1024, address.as_ptr(), MPOL_F_ADDR) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    (mode, nodes[0])
}

/// The node that a touched page lies on.
fn node_of(address: NonNull<u8>) -> usize {
    let mut node: libc::c_int = -1;
    let nobody = null_mut::<u64>();
    // SAFETY: room for the answer.
    let result =
        unsafe { libc::syscall(libc::SYS_get_mempolicy, &raw mut node, nobody, 0, address.as_ptr(), MPOL_F_NODE | MPOL_F_ADDR) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    node as usize
}

/// Asserts that a region is told to lie on a node, and does.
fn assert_on(region: Region, offset: usize, mode: libc::c_int, node: usize) {
    let address = at(region, offset);
    assert_eq!(policy(address), (mode, 1 << node));
    fill(address, page(), 1);
    if mode == libc::MPOL_BIND {
        assert_eq!(node_of(address), node);
    }
}

#[test]
fn memory_comes_from_the_node() {
    for node in nodes() {
        for (source, mode) in [
            (Mmap::new().on_node(node), libc::MPOL_BIND),
            (Mmap::new().near_node(node), libc::MPOL_PREFERRED),
            (Mmap::new().near_node(1023).on_node(node), libc::MPOL_BIND),
        ] {
            let region = reserve_for_block(&source, 64 * MIB);
            for offset in [0, 32 * MIB, 64 * MIB - page()] {
                assert_on(region, offset, mode, node);
            }
            // SAFETY: the region, and a range of it, used by nobody else.
            let region = unsafe {
                let region = source.remap(region, 128 * MIB).expect("memory");
                assert!(source.decommit(at(region, 4 * MIB), MIB));
                region
            };
            for offset in [0, 4 * MIB, 16 * MIB, 64 * MIB, 128 * MIB - page()] {
                assert_on(region, offset, mode, node);
            }
            // SAFETY: used by nobody.
            unsafe { source.release(region) };
        }
    }
}

#[test]
fn strict_memory_stays_on_the_node() {
    for node in nodes() {
        let source = Mmap::strict().on_node(node);
        let region = reserve(&source, 4 * MIB);
        for _ in 0..2 {
            // SAFETY: a part of the region, used by nobody.
            unsafe {
                assert!(source.commit(at(region, MIB), MIB));
                assert_on(region, MIB + page(), libc::MPOL_BIND, node);
                assert!(source.decommit(at(region, MIB), MIB));
            }
        }
        // SAFETY: used by nobody.
        unsafe { source.release(region) };
    }
}

#[test]
fn a_heap_for_each_node() {
    for node in nodes() {
        let heap = OsHeap::with_source(Mmap::new().on_node(node));
        for size in [16, 5000, 300_000, 12 * MIB] {
            let layout = Layout::from_size_align(size, 8).expect("a layout");
            let block = heap.allocate(layout).expect("memory");
            fill(block, size, 1);
            assert_eq!(node_of(block), node);
            // SAFETY: a block of this heap, used no more.
            unsafe { heap.deallocate(block, layout) };
        }
        heap.assert_valid();
    }
}

#[test]
fn a_node_that_does_not_exist_is_an_error_or_no_wish() {
    if nodes().is_empty() {
        return;
    }
    for nowhere in [1023, 1024, usize::MAX] {
        let (on, near) = (Mmap::new().on_node(nowhere), Mmap::new().near_node(nowhere));
        assert_eq!((on.check_node(), near.check_node()), (Err(NodeError::NoSuchNode), Err(NodeError::NoSuchNode)));
        assert!(on.reserve(request(MIB)).is_none());
        let heap = OsHeap::with_source(on);
        assert!(heap.allocate(Layout::new::<u64>()).is_none());
        let region = reserve(&near, MIB);
        fill(region.start, region.size, 1);
        // SAFETY: used by nobody.
        unsafe { near.release(region) };
    }
    assert_eq!(Mmap::new().check_node(), Ok(()), "no node was asked for");
}

#[test]
fn a_system_that_refuses_is_an_error_or_no_wish() {
    let is_told_apart = in_child(|| {
        forbid(libc::SYS_mbind)
            && Mmap::new().on_node(0).check_node() == Err(NodeError::Refused)
            && Mmap::new().on_node(0).reserve(request(MIB)).is_none()
            && Mmap::new().near_node(0).reserve(request(MIB)).is_some()
    });
    if is_emulated() {
        return skip("an emulator forbids nothing");
    }
    assert!(is_told_apart);
}

/// Has the kernel refuse a system call to this process from now on, as sandboxes do.
fn forbid(call: libc::c_long) -> bool {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: rules for this process only, valid for the time of the calls.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    }
}
