local worker, order, left = unpack(ARGV)
give_order(worker, order, order == 'D' and clock() + tonumber(left) or 0)
