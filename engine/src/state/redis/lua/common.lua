-- What the scripts share. A key of an event holds one of these texts; digits are decimal, with leading zeros, so that
-- they are compared as texts (a number of 64 bits doesn't fit into Lua's):
--
--   c:<token, 20>:<delivery, 20>:<end of the lease in ms, 16>:<0 or 1, in doubt>:<partition>   claimed
--   i:                                                                                         in doubt
--   d:<fingerprint, 16 hexadecimal digits>                                                     done

local function is_ours(known)
  local kind = string.sub(known, 1, 2)
  return known == 'i:' or (kind == 'd:' and #known == 18) or (kind == 'c:' and #known > 63)
end

-- Whether a completion by that holder is fenced ('f'), changes nothing any more ('n'), or counts ('s').
local function verdict(known, holder, ending)
  local kind = known and string.sub(known, 1, 2)
  if kind == 'd:' then
    return ending == 'u' and 's' or 'n'
  end
  if kind == 'c:' then
    return string.sub(known, 3, 43) == holder and 's' or 'f'
  end
  return ending == 'a' and 'f' or 's'
end

-- An ending: 'a' applied, 'p' parked, 'q' parked in doubt, 'u' unparked. `remote` and `version` are empty, or have a
-- '+' before them. The number of letters is kept in `c`, as there may be many.
local function change(entity, keep, ending, letter, fingerprint, remote, version)
  if ending == 'p' or ending == 'q' then
    if redis.call('HSETNX', entity, letter, '') == 1 then
      redis.call('HINCRBY', entity, 'c', 1)
    end
  else
    if redis.call('HDEL', entity, letter) == 1 and redis.call('HINCRBY', entity, 'c', -1) < 1 then
      redis.call('HDEL', entity, 'c')
    end
    if ending == 'a' then
      redis.call('HSET', entity, 'f', fingerprint)
      if remote == '' then
        redis.call('HDEL', entity, 'r')
      else
        redis.call('HSET', entity, 'r', string.sub(remote, 2))
      end
      if version ~= '' then
        redis.call('HSET', entity, 'v', string.sub(version, 2))
      end
    end
  end
  if keep ~= '0' then
    redis.call('PEXPIRE', entity, keep)
  end
end
