local worker, order, deadline = unpack(ARGV)
give_order(worker, order, tonumber(deadline))
