-- For wrk: each request has the next cookie of a file, from the beginning again after the last; what was seen is said as JSON.

function init (args)
  local requests = {}
  for cookie in io.lines(args[1]) do
    table.insert(requests, wrk.format(nil, nil, { Cookie = cookie }))
  end
  local sent = 0
  request = function ()
    sent = sent + 1
    return requests[sent % #requests + 1]
  end
end

function done (summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  io.write(string.format('{"answers":%d,"failed":%d,"microseconds":%d,"p99":%d}\n', summary.requests, failed, summary.duration, latency:percentile(99)))
end
