//! How objects are written: straight into the output, default values left out.

/// An object that is being written.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

// === impl Object ===

impl<'a> Object<'a> {
    pub fn open(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, is_empty: true }
    }

    pub fn close(self) {
        self.out.push(b'}');
    }

    /// Writes the key and lends the output for its value.
    pub fn raw(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        put_string(self.out, key);
        self.out.push(b':');
        self.out
    }

    /// A string, even when it is empty.
    pub fn entry(&mut self, key: &str, value: &str) {
        put_string(self.raw(key), value);
    }

    pub fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.entry(key, value);
        }
    }

    pub fn number(&mut self, key: &str, value: u32) {
        if value != 0 {
            self.raw(key).extend_from_slice(value.to_string().as_bytes());
        }
    }

    /// 64 bits are a string, because JavaScript's numbers have 53.
    pub fn long(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.entry(key, &value.to_string());
        }
    }

    pub fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.raw(key).extend_from_slice(b"true");
        }
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a vector takes everything and a str is UTF-8");
}
