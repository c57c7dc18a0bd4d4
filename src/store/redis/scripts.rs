//! What Redis does in one step: scripts in Lua.
//!
//! Every script looks at everything before it changes anything. An error of the server (a key of another type, too little memory, a
//! replica that may not write) comes at the first change or before it, so that nothing is done by half. Time is the server's.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bb8_redis::redis::{Cmd, RedisResult, ToRedisArgs, Value, cmd};

use super::connection::{Connection, is_no_script};

/// A script, and the hash by which a server knows it once it has seen it.
pub struct Script {
    source: &'static str,
    hash: String,
}

/// All of them.
pub struct Scripts {
    pub write: Script,
    pub count: Script,
    pub read: Script,
}

/// A document is `version:value`.
///
/// KEYS: the last version, then one for each change. ARGV: for each change what it is (`p`ut, `d`elete, `c`heck, `a`ppend), what is
/// expected (`*`, `-` for absent, or a version), milliseconds (of expiry, if any, or of age), the value, and of a log the count, the bytes
/// if they are bounded, and the channel if there is one.
///
/// An entry carries the length of all that were appended up to itself, so that the length of those which are kept is one subtraction. One
/// that an older version wrote does not: it goes as soon as bytes are bounded.
///
/// A version is at least the present in microseconds, so that a server which lost its data does not give out those again that somebody
/// may still remember.
const WRITE: &str = r"
local function found(key)
  local head = redis.call('GETRANGE', key, 0, 20)
  if head == '' then return '-' end
  return string.match(head, '^(%d+):') or error('a document is not one of ours')
end
local function text(number) return string.format('%.0f', number) end
-- The number of the newest entry there ever was, and the length of all up to the newest that is kept.
local function newest(key)
  local offset, total = 0, 0
  if redis.call('EXISTS', key) == 0 then return offset, total end
  local stream = redis.call('XINFO', 'STREAM', key)
  for field = 1, #stream, 2 do
    if stream[field] == 'last-generated-id' then offset = tonumber(string.match(stream[field + 1], '^%d+')) end
    if stream[field] == 'last-entry' and stream[field + 1] then total = tonumber(stream[field + 1][2][6] or '0') end
  end
  return offset, total
end
-- Lets go of the oldest entries while `goes` says so. Twice as many are looked at each time, which is never many more than go.
local function trim(key, goes)
  local count = 1
  while true do
    local page = redis.call('XRANGE', key, '-', '+', 'COUNT', count)
    for _, entry in ipairs(page) do
      if not goes(entry[1], entry[2]) then return end
      redis.call('XDEL', key, entry[1])
    end
    if #page < count then return end
    count = math.min(count * 2, 100)
  end
end

for i = 2, #KEYS do
  local a = (i - 2) * 7
  if ARGV[a + 1] == 'a' then
    local kind = redis.call('TYPE', KEYS[i]).ok
    if kind ~= 'none' and kind ~= 'stream' then return redis.error_reply('WRONGTYPE a log is not a stream') end
    -- Before 7.0 nobody can be asked, and by default everybody may publish.
    if ARGV[a + 7] ~= '' and redis.acl_check_cmd and not redis.acl_check_cmd('PUBLISH', ARGV[a + 7], '') then
      return redis.error_reply('NOPERM this user may not publish')
    end
  else
    local version = found(KEYS[i])
    if ARGV[a + 2] ~= '*' and ARGV[a + 2] ~= version then return {'conflict', text(i - 2)} end
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local answer = {'ok'}
for i = 2, #KEYS do
  local a = (i - 2) * 7
  local key, what, millis, value = KEYS[i], ARGV[a + 1], ARGV[a + 3], ARGV[a + 4]
  if what == 'p' then
    last = math.max(last + 1, time[1] * 1000000 + time[2])
    answer[#answer + 1] = text(last)
    redis.call('SET', KEYS[1], text(last))
    local document = text(last) .. ':' .. value
    if millis == '' then redis.call('SET', key, document)
    elseif millis == '0' then redis.call('DEL', key)
    else redis.call('SET', key, document, 'PX', millis) end
  elseif what == 'd' then
    redis.call('DEL', key)
  elseif what == 'a' then
    local offset, total = newest(key)
    offset, total = offset + 1, total + #value
    local id, bytes = text(offset) .. '-0', tonumber(ARGV[a + 6])
    redis.call('XADD', key, id, 'end', text(now + millis), 'entry', value, 'total', text(total))
    redis.call('XTRIM', key, 'MAXLEN', ARGV[a + 5])
    trim(key, function(this, entry)
      local ended = tonumber(entry[2]) <= now
      local beyond = bytes and this ~= id and (not entry[6] or total - tonumber(entry[6]) + #entry[4] > bytes)
      return ended or beyond
    end)
    redis.call('PEXPIRE', key, millis)
    if ARGV[a + 7] ~= '' then redis.call('PUBLISH', ARGV[a + 7], struct.pack('<I8', offset) .. value) end
    answer[#answer + 1] = text(offset)
  end
end
return answer
";

/// KEYS: the counter. ARGV: by how much, and the window in milliseconds. Answers the value and the milliseconds that are left.
const COUNT: &str = r"
local value
if ARGV[1] == '0' then
  value = redis.call('GET', KEYS[1]) or '0'
else
  value = redis.call('INCRBY', KEYS[1], ARGV[1])
end
local left = redis.call('PTTL', KEYS[1])
if left == -1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  left = tonumber(ARGV[2])
end
return {tonumber(value), math.max(left, 0)}
";

/// KEYS: the log. ARGV: after which offset, and how many. Answers the first and the last offset, then offset and content of each.
const READ: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then return {1, 0} end
local last
local stream = redis.call('XINFO', 'STREAM', KEYS[1])
for field = 1, #stream, 2 do
  if stream[field] == 'last-generated-id' then last = tonumber(string.match(stream[field + 1], '^%d+')) end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function oldest()
  local from, count = '-', 1
  while true do
    local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', count)
    count = math.min(count * 2, 100)
    if #page == 0 then return last + 1 end
    for _, entry in ipairs(page) do
      if tonumber(entry[2][2]) > now then return tonumber(string.match(entry[1], '^%d+')) end
      from = '(' .. entry[1]
    end
  end
end
local first = oldest()
local answer = {first, last}
if ARGV[2] ~= '0' then
  local from = string.format('%.0f', math.max(first, ARGV[1] + 1))
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[2])) do
    answer[#answer + 1] = tonumber(string.match(entry[1], '^%d+'))
    answer[#answer + 1] = entry[2][4]
  end
end
return answer
";

// === impl Scripts ===

impl Scripts {
    pub fn new() -> Scripts {
        Scripts { write: Script::new(WRITE), count: Script::new(COUNT), read: Script::new(READ) }
    }
}

// === impl Script ===

impl Script {
    fn new(source: &'static str) -> Script {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, source.as_bytes());
        Script { source, hash: hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// Runs it; the source is sent only to a server that does not have it.
    pub async fn run<A: ToRedisArgs>(&self, connection: &mut Connection, keys: &[String], arguments: &[A]) -> RedisResult<Value> {
        match connection.ask(&call("EVALSHA", &self.hash, keys, arguments)).await {
            Err(error) if is_no_script(&error) => connection.ask(&call("EVAL", self.source, keys, arguments)).await,
            answer => answer,
        }
    }
}

fn call<A: ToRedisArgs>(how: &str, script: &str, keys: &[String], arguments: &[A]) -> Cmd {
    let mut command = cmd(how);
    command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    command
}
