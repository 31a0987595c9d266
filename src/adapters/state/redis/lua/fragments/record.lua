-- read_record(key): fields and values of a hash in turn, as one value in MessagePack, or false where there is none. Each
-- value of an answer costs its reader a buffer of its own, and a record has twenty.
local function read_record(key)
  local fields = redis.call('HGETALL', key)
  return #fields > 0 and cmsgpack.pack(fields)
end
