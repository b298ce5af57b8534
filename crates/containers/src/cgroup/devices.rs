//! Device rules on the unified hierarchy: a small BPF program that the kernel asks at every open and mknod.
//!
//! `unsafe`: the two `bpf` calls.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;

const KIND_CHARACTER: i32 = 2;
const KIND_BLOCK: i32 = 1;
const ACCESS_MKNOD: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;

/// One allowed device; nothing for a number means any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// `c`, `b` or `a` for both.
    pub kind: char,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// Any of `r`, `w`, `m`.
    pub access: String,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: destination | source << 4, offset, immediate }
}

/// Reads a 32-bit field of the context (register 1).
const fn load(destination: u8, offset: i16) -> Instruction {
    instruction(0x61, destination, 1, offset, 0)
}

const fn return_value(value: i32) -> [Instruction; 2] {
    [instruction(0xb7, 0, 0, 0, value), instruction(0x95, 0, 0, 0, 0)]
}

/// The program: registers 2 to 5 hold kind, access, major and minor; each rule that matches returns 1, the end returns 0.
fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = vec![
        load(2, 0),
        instruction(0x54, 2, 0, 0, 0xffff),
        load(3, 0),
        instruction(0x74, 3, 0, 0, 16),
        load(4, 4),
        load(5, 8),
    ];
    for rule in rules {
        let block = rule_block(rule);
        let unconditional = block == return_value(1);
        program.extend(block);
        // The kernel refuses programs with steps that nothing leads to.
        if unconditional {
            return program;
        }
    }
    program.extend(return_value(0));
    program
}

fn rule_block(rule: &DeviceRule) -> Vec<Instruction> {
    let mut tests = Vec::new();
    match rule.kind {
        'c' => tests.push((2, KIND_CHARACTER)),
        'b' => tests.push((2, KIND_BLOCK)),
        _ => {}
    }
    tests.extend(rule.major.map(|major| (4, major as i32)));
    tests.extend(rule.minor.map(|minor| (5, minor as i32)));
    let refused = !access_bits(&rule.access) & (ACCESS_MKNOD | ACCESS_READ | ACCESS_WRITE);
    let mut block = Vec::new();
    // What remains of the block behind each jump: the other tests, the access test and the return.
    let access_length = if refused == 0 { 0 } else { 3 };
    for (index, (register, value)) in tests.iter().enumerate() {
        let skip = (tests.len() - index - 1 + access_length + 2) as i16;
        block.push(instruction(0x55, *register, 0, skip, *value));
    }
    if refused != 0 {
        block.push(instruction(0xbc, 0, 3, 0, 0));
        block.push(instruction(0x54, 0, 0, 0, refused));
        block.push(instruction(0x55, 0, 0, 2, 0));
    }
    block.extend(return_value(1));
    block
}

fn access_bits(access: &str) -> i32 {
    access.chars().fold(0, |bits, letter| {
        bits | match letter {
            'r' => ACCESS_READ,
            'w' => ACCESS_WRITE,
            'm' => ACCESS_MKNOD,
            _ => 0,
        }
    })
}

#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    rest: [u64; 12],
}

#[repr(C)]
#[derive(Default)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    rest: [u64; 12],
}

/// Lets the processes of the group at `directory` use only these devices. The kernel drops the program with the group.
pub fn attach(directory: &Path, rules: &[DeviceRule]) -> io::Result<()> {
    let program = load_program(&program(rules))?;
    let target = File::open(directory)?;
    let attributes = AttachAttributes {
        target: target.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        ..AttachAttributes::default()
    };
    // SAFETY: the structure is laid out as the kernel's union for this command and outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attributes, size_of::<AttachAttributes>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn load_program(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"Apache-2.0";
    let attributes = LoadAttributes {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..LoadAttributes::default()
    };
    // SAFETY: program and licence outlive the call; the structure is laid out as the kernel's union for this command.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<LoadAttributes>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: char, major: Option<u32>, minor: Option<u32>, access: &str) -> DeviceRule {
        DeviceRule { kind, major, minor, access: access.to_owned() }
    }

    /// What the kernel would do: enough of the machine for our programs.
    fn run(program: &[Instruction], kind: i32, access: i32, major: i32, minor: i32) -> i32 {
        let context = [kind | access << 16, major, minor];
        let mut registers = [0i32; 11];
        let mut at = 0;
        loop {
            let step = program[at];
            let (destination, source) = ((step.registers & 15) as usize, (step.registers >> 4) as usize);
            at += 1;
            match step.code {
                0x61 => registers[destination] = context[step.offset as usize / 4],
                0x54 => registers[destination] &= step.immediate,
                0x74 => registers[destination] = ((registers[destination] as u32) >> step.immediate) as i32,
                0xbc => registers[destination] = registers[source],
                0xb7 => registers[destination] = step.immediate,
                0x55 if registers[destination] != step.immediate => at += step.offset as usize,
                0x55 => {}
                0x95 => return registers[0],
                other => panic!("no such code: {other:#x}"),
            }
        }
    }

    #[test]
    fn only_what_a_rule_allows_is_allowed() {
        let program =
            program(&[rule('c', Some(1), Some(3), "rwm"), rule('b', None, None, "m"), rule('c', Some(5), None, "rw")]);
        assert_eq!(run(&program, KIND_CHARACTER, ACCESS_READ | ACCESS_WRITE, 1, 3), 1);
        assert_eq!(run(&program, KIND_CHARACTER, ACCESS_READ, 1, 4), 0);
        assert_eq!(run(&program, KIND_BLOCK, ACCESS_MKNOD, 254, 0), 1);
        assert_eq!(run(&program, KIND_BLOCK, ACCESS_READ, 254, 0), 0);
        assert_eq!(run(&program, KIND_CHARACTER, ACCESS_WRITE, 5, 1), 1);
        assert_eq!(run(&program, KIND_CHARACTER, ACCESS_MKNOD, 5, 1), 0);
    }

    #[test]
    fn the_kernel_takes_the_program() {
        load_program(&program(&[rule('c', Some(1), Some(3), "rwm"), rule('a', None, None, "m")])).unwrap();
        load_program(&program(&[rule('a', None, None, "rwm"), rule('a', None, None, "m")])).unwrap();
    }
}
