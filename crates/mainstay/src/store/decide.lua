-- Decides on all limits of a request at once, by the server's clock: looks at each, then takes from those only
-- that the outcome counts at. Keys, types and expiries of fixed, moving and sliding windows are those of the Python
-- package limits 5.8, whose users count in the same places.
--
-- KEYS: two of each limit: its count, and for a sliding window the count of the window before.
-- ARGV: "all", where each limit is asked before any is used up; "each", where the first that refuses is the last
-- that counts; "look", where none is used up. Then of each limit: strategy, part, amount, seconds, cost.
-- Returns 0 for who was refused too often, 1 refused, 2 admitted; how many of the limits that refuse were asked;
-- then of each limit whether it admits, what is left, and the milliseconds until more is left and until it may
-- admit this.

local clock = redis.call('TIME')
local micros = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = micros / 1000000

-- What another strategy has left under a key counts for nothing.
local function read(command, key, at)
  local found
  if at then found = redis.pcall(command, key, at) else found = redis.pcall(command, key) end
  if type(found) == 'table' and found.err then
    if not string.find(found.err, 'WRONGTYPE', 1, true) then error(found.err) end
    redis.call('DEL', key)
    return nil
  end
  return tonumber(found)
end

local function left_of(key)
  return math.max(redis.call('PTTL', key), 0)
end

local fixed = {}

function fixed.judge(it)
  it.used = read('GET', it.key) or 0
  local left = redis.call('PTTL', it.key)
  if left == -1 then
    -- Nothing would ever end it.
    redis.call('EXPIRE', it.key, it.window)
    left = it.span
  end
  left = math.max(left, 0)
  it.admits = it.used + it.cost <= it.amount
  it.left = it.amount - it.used
  it.reset = it.used > 0 and left or 0
  it.retry = (it.used == 0 or it.cost > it.amount) and it.span or left
end

function fixed.take(it)
  local count = redis.call('INCRBY', it.key, it.cost)
  if count == it.cost then redis.call('EXPIRE', it.key, it.window) end
  it.left = it.amount - count
  it.reset = left_of(it.key)
end

local moving = {}

function moving.judge(it)
  local from = now - it.window
  local low, high, oldest = 0, it.amount - 1, nil
  it.used = 0
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local at = read('LINDEX', it.key, middle)
    if at and at >= from then
      it.used, oldest, low = middle + 1, at, middle + 1
    else
      high = middle - 1
    end
  end
  it.admits = it.used + it.cost <= it.amount
  it.left = it.amount - it.used
  it.reset = oldest and (oldest - from) * 1000 or 0
  it.retry = it.span
  if not it.admits and it.cost <= it.amount then
    it.retry = (read('LINDEX', it.key, it.amount - it.cost) - from) * 1000
  end
end

function moving.take(it)
  for _ = 1, it.cost do redis.call('LPUSH', it.key, string.format('%.6f', now)) end
  redis.call('LTRIM', it.key, 0, it.amount - 1)
  redis.call('EXPIRE', it.key, it.window)
  it.left = it.left - it.cost
  if it.used == 0 then it.reset = it.span end
end

local sliding = {}

local function until_more(it)
  local fades, turns
  if it.before > 0 then fades = (it.before_left * it.before) % it.span / it.before end
  if it.count > 0 then turns = it.turn end
  it.reset = math.min(fades or turns or 0, turns or fades or 0)
end

function sliding.judge(it)
  local left = left_of(it.key)
  if left > 0 and left < it.span then
    redis.call('RENAME', it.key, it.key_before)
    redis.call('SET', it.key, 0, 'PX', left + it.span)
  end
  it.before, it.before_left = read('GET', it.key_before) or 0, left_of(it.key_before)
  it.count = read('GET', it.key) or 0
  -- Until this window is the one before.
  it.turn = math.max(left_of(it.key) - it.span, 0)
  if it.count == 0 then it.turn = it.span end
  local used = math.floor(it.before * it.before_left / it.span) + it.count
  it.admits = used + it.cost <= it.amount
  it.left = it.amount - used
  until_more(it)
  local function fits(count, room) return math.floor(((room + 1) * it.span - 1) / math.max(count, 1)) end
  local room = it.amount - it.cost
  if room < 0 then
    it.retry = it.span
  elseif room >= it.count then
    it.retry = math.max(it.before_left - fits(it.before, room - it.count), 0)
  else
    it.retry = it.turn + math.max(it.span - fits(it.count, room), 0)
  end
end

function sliding.take(it)
  if redis.call('EXISTS', it.key) == 1 then
    redis.call('INCRBY', it.key, it.cost)
  else
    redis.call('SET', it.key, it.cost, 'PX', it.span * 2)
  end
  it.count = it.count + it.cost
  it.turn = math.max(left_of(it.key) - it.span, 0)
  it.left = it.left - it.cost
  until_more(it)
end

local gcra = {}

-- What is owed, microseconds, as remainder and time until one more is there.
local function owes(it, owed)
  it.left = math.floor((it.whole - owed) / it.interval)
  it.reset = math.max(owed - (it.amount - it.left - 1) * it.interval, 0) / 1000
  if owed == 0 then it.reset = 0 end
end

function gcra.judge(it)
  it.admits, it.left, it.reset, it.retry = false, 0, 0, it.span
  if it.amount == 0 then return end
  -- Whole numbers, so that nothing is lost by rounding.
  it.interval = math.floor(it.span * 1000 / it.amount)
  it.whole = it.amount * it.interval
  local owed = math.max((read('GET', it.key) or 0) - micros, 0)
  it.needed = it.cost * it.interval + owed
  it.admits = it.needed <= it.whole
  owes(it, owed)
  if it.cost <= it.amount then it.retry = (it.needed - it.whole) / 1000 end
end

function gcra.take(it)
  local paid = string.format('%.0f', micros + it.needed)
  redis.call('SET', it.key, paid, 'PX', math.ceil(it.needed / 1000))
  owes(it, it.needed)
end

local strategies = { fixed = fixed, moving = moving, sliding = sliding, gcra = gcra }
local order, items = ARGV[1], {}
for at = 1, #KEYS / 2 do
  local from = 2 + (at - 1) * 5
  local it = {
    how = strategies[ARGV[from]], part = ARGV[from + 1], amount = tonumber(ARGV[from + 2]),
    window = tonumber(ARGV[from + 3]), cost = tonumber(ARGV[from + 4]),
    key = KEYS[at * 2 - 1], key_before = KEYS[at * 2],
  }
  it.span = it.window * 1000
  it.how.judge(it)
  items[at] = it
end

local outcome, asked = 2, 0
for _, it in ipairs(items) do
  if it.part == 'meta' and not it.admits then outcome = 0 end
end
if outcome == 2 then
  for _, it in ipairs(items) do
    if it.part == 'enforced' and (order ~= 'each' or outcome == 2) then
      asked = asked + 1
      if not it.admits then
        outcome = 1
      elseif order == 'each' then
        it.how.take(it)
      end
    end
  end
  for _, it in ipairs(items) do
    local counts
    if it.part == 'enforced' then
      counts = outcome == 2 and order == 'all'
    elseif it.part == 'tried' then
      counts = outcome == 2 and order ~= 'look'
    else
      counts = outcome == 1 and order ~= 'look'
    end
    if counts and it.admits then it.how.take(it) end
  end
end

local told = { outcome, asked }
for _, it in ipairs(items) do
  told[#told + 1] = it.admits and 1 or 0
  told[#told + 1] = math.max(it.left, 0)
  told[#told + 1] = math.ceil(it.reset)
  told[#told + 1] = it.admits and 0 or math.ceil(it.retry)
end
return told
