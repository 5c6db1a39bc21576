/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures.c - counts and latencies of the load generator, printed as one line of JSON.
 *
 * Called by client.c per message. Keeps every latency, so percentiles are exact.
 */
#include "figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double
figures_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *
grown(void *old, size_t count, size_t size)
{
	void *new = reallocarray(old, count, size);

	if (!new) {
		fputs("load: out of memory\n", stderr);
		exit(1);
	}
	return new;
}

void
figures_accept(struct figures *figures, double intended, double body_sent)
{
	double now = figures_now();

	if (figures->accepted == figures->space) {
		figures->space = figures->space ? figures->space * 2 : 4096;
		figures->reply = grown(figures->reply, figures->space, sizeof(uint32_t));
		figures->whole = grown(figures->whole, figures->space, sizeof(uint32_t));
	}
	figures->reply[figures->accepted] = (uint32_t)((now - body_sent) * 1e6);
	figures->whole[figures->accepted] = (uint32_t)((now - intended) * 1e6);
	figures->accepted++;
	figures->last = now;
}

void
figures_fail(struct figures *figures, const char *reason)
{
	char text[sizeof(figures->reasons[0].text)] = "";
	size_t len = strcspn(reason, "\r\n");

	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	for (size_t i = 0; i < len; i++)
		text[i] = reason[i] < ' ' || strchr("\"\\", reason[i]) ? '?' : reason[i];
	figures->failed++;
	for (int i = 0; i < FIGURES_REASONS; i++) {
		if (figures->reasons[i].count == 0)
			memcpy(figures->reasons[i].text, text, sizeof(text));
		if (strcmp(figures->reasons[i].text, text) == 0) {
			figures->reasons[i].count++;
			return;
		}
	}
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void
print_latency(const char *name, uint32_t *values, size_t count)
{
	if (count == 0)
		return;
	qsort(values, count, sizeof(*values), compare);
	printf(", \"%s\": {\"p50\": %u, \"p90\": %u, \"p99\": %u, \"max\": %u}", name,
	    values[count / 2], values[count * 9 / 10], values[count * 99 / 100], values[count - 1]);
}

void
figures_print(struct figures *figures)
{
	double seconds = figures->last - figures->first;

	printf("{\"accepted\": %llu, \"failed\": %llu, \"connections\": %llu, \"first\": %.6f, "
	       "\"last\": %.6f, \"rate\": %.1f",
	    (unsigned long long)figures->accepted, (unsigned long long)figures->failed,
	    (unsigned long long)figures->connections, figures->first, figures->last,
	    seconds > 0 ? (double)figures->accepted / seconds : 0);
	print_latency("reply_us", figures->reply, figures->accepted);
	print_latency("whole_us", figures->whole, figures->accepted);
	fputs(", \"reasons\": {", stdout);
	for (int i = 0; i < FIGURES_REASONS && figures->reasons[i].count > 0; i++)
		printf("%s\"%s\": %llu", i ? ", " : "", figures->reasons[i].text,
		    (unsigned long long)figures->reasons[i].count);
	puts("}}");
	fflush(stdout);
}

void
figures_free(struct figures *figures)
{
	free(figures->reply);
	free(figures->whole);
}
