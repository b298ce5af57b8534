//! The form of a netlink message: headers, attributes, nesting.

const HEADER: usize = 16;
const NESTED: u16 = 0x8000;

const REQUEST: u16 = 0x1;
const ACK: u8 = 0x4;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;

/// Messages one behind the other, as one send takes them.
#[derive(Default)]
pub struct Wire {
    pub bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Wire {
    /// Begins a message of nfnetlink; `resource` is the id that batch borders carry.
    pub fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16) {
        self.seal();
        self.starts.push(self.bytes.len());
        let sequence = u32::try_from(self.starts.len()).expect("a batch has fewer messages");
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((REQUEST | flags).to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
    }

    /// Writes the length of the message begun last.
    pub fn seal(&mut self) {
        if let Some(&start) = self.starts.last() {
            let length = u32::try_from(self.bytes.len() - start).expect("a message stays below 4 GiB");
            self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        }
    }

    /// Asks the kernel to confirm the message begun last, and answers its sequence number.
    pub fn request_ack(&mut self) -> u32 {
        const FLAGS: usize = 6;
        let start = *self.starts.last().expect("a message was begun");
        self.bytes[start + FLAGS] |= ACK;
        u32::try_from(self.starts.len()).expect("a batch has fewer messages")
    }

    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).expect("an attribute stays below 64 KiB");
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub fn u64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0, 0]);
        self.bytes.extend((kind | NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).expect("a nest stays below 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

/// The kernel's answers in a datagram: sequence numbers and error numbers (zero: done).
pub fn answers(mut datagram: &[u8]) -> Vec<(u32, i32)> {
    const ERROR: u16 = 2;
    let mut found = Vec::new();
    while datagram.len() >= HEADER + 4 {
        let field = |at: usize| <[u8; 4]>::try_from(&datagram[at..at + 4]).expect("four bytes");
        let length = u32::from_ne_bytes(field(0)) as usize;
        if length < HEADER || length > datagram.len() {
            break;
        }
        if u16::from_ne_bytes([datagram[4], datagram[5]]) == ERROR {
            found.push((u32::from_ne_bytes(field(8)), i32::from_ne_bytes(field(HEADER))));
        }
        datagram = &datagram[length.next_multiple_of(4).min(datagram.len())..];
    }
    found
}
