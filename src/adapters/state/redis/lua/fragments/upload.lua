--- include clock
-- What every script on one broken-off upload shares.
--
-- KEYS[1] its size and until when it is kept, KEYS[2] its bytes in pieces
-- ARGV[1] a test's time or ''

local META, PIECES = KEYS[1], KEYS[2]

-- How much is kept; an upload whose time is over, or of which a part is gone, is forgotten.
local function kept_size()
  local meta = redis.call('HMGET', META, 'size', 'until')
  if not meta[1] then return 0 end
  if tonumber(meta[2]) > read_clock() and redis.call('EXISTS', PIECES) == 1 then return tonumber(meta[1]) end
  redis.call('DEL', META, PIECES)
  return 0
end
