local worker = ARGV[1]
for _, entry in ipairs(call('HVALS', P .. 'active')) do
  local lease = read_lease(entry)
  if lease and lease.worker == worker then return 0 end
end
give_order(worker, 'R', 0)
return 1
