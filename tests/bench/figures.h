/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures.h - what the load generator measured: counts, latencies, reasons of failure.
 */
#ifndef TESTS_BENCH_FIGURES_H
#define TESTS_BENCH_FIGURES_H

#include <stddef.h>
#include <stdint.h>

#define FIGURES_REASONS 12

struct figures {
	uint64_t accepted, failed, connections;
	double first, last;      /* first connect, last 250; CLOCK_MONOTONIC, seconds */
	uint32_t *reply, *whole; /* µs per message: last byte to 250, intended start to 250 */
	size_t space;
	struct {
		char text[96];
		uint64_t count;
	} reasons[FIGURES_REASONS];
};

double figures_now(void);
/* A message got its 250 now. */
void figures_accept(struct figures *figures, double intended, double body_sent);
/* `reason` is cut at the end of its line; beyond FIGURES_REASONS they are only counted. */
void figures_fail(struct figures *figures, const char *reason);
/* One line of JSON on stdout; sorts the latencies. */
void figures_print(struct figures *figures);
void figures_free(struct figures *figures);

#endif
