/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tests.h - the tests, in the order in which they run */
#ifndef E2E_TESTS_H
#define E2E_TESTS_H

#define E2E_TESTS(TEST) \
	TEST(no_set) \
	TEST(create) \
	TEST(server_states) \
	TEST(names) \
	TEST(instance) \
	TEST(buffers) \
	TEST(growth) \
	TEST(no_memory) \
	TEST(backup_1) \
	TEST(backup_4) \
	TEST(backup_64) \
	TEST(restore_1) \
	TEST(restore_4) \
	TEST(restore_64) \
	TEST(queue) \
	TEST(threads) \
	TEST(outputs) \
	TEST(io_error) \
	TEST(io_error_threads) \
	TEST(io_error_close) \
	TEST(client_aborts) \
	TEST(server_aborts) \
	TEST(abort_configuration) \
	TEST(client_dies) \
	TEST(server_dies) \
	TEST(server_timeout) \
	TEST(client_closes_early) \
	TEST(server_closes_early) \
	TEST(close_outstanding) \
	TEST(close_with_agent) \
	TEST(agent_first) \
	TEST(close_unused) \
	TEST(reuse) \
	TEST(secondaries) \
	TEST(secondary_dies) \
	TEST(fork) \
	TEST(trusted_users) \
	TEST(stranger_is_not_joined) \
	TEST(stranger_with_open_mode) \
	TEST(ended_hides_nothing) \
	TEST(refused_by_mode) \
	TEST(peers) \
	TEST(poll) \
	TEST(signal) \
	TEST(evil_client) \
	TEST(evil_server) \
	TEST(flood) \
	TEST(close_held_back) \
	TEST(cost) \
	TEST(batch) \
	TEST(batch_io_error) \
	TEST(send_many) \
	TEST(prompt) \
	TEST(exchange_timeout) \
	TEST(batch_abort) \
	TEST(lock) \
	TEST(growth_by_pages) \
	TEST(growth_in_steps) \
	TEST(growth_beside_routines) \
	TEST(growth_by_threads) \
	TEST(growth_signalled) \
	TEST(abort_while_getting) \
	TEST(recorded_by_the_dead) \
	TEST(evil_at_the_end) \
	TEST(client_limits) \
	TEST(server_limits)

#endif /* E2E_TESTS_H */
