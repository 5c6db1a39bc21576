/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.c - how far long work is, for people who wait for it.
 *
 * Called by posternctl's commands. Must never write to standard output, which is for results.
 */
#include <core/base/clock.h>
#include <core/ctl/progress.h>
#include <stdio.h>
#include <unistd.h>

#define EVERY_US 500000

void
progress_say(struct progress *progress, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	if (progress->quiet || g_strcmp0(text, progress->shown) == 0) {
		g_free(text);
		return;
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%s\033[K", text);
	else
		fprintf(stderr, "%s\n", text);
	fflush(stderr);
	g_free(progress->shown);
	progress->shown = text;
}

bool
progress_is_due(struct progress *progress)
{
	int64_t now = clock_monotonic_us();

	if (now < progress->next_us)
		return false;
	progress->next_us = now + EVERY_US;
	return true;
}

void
progress_end(struct progress *progress)
{
	if (progress->shown && isatty(STDERR_FILENO))
		fputc('\n', stderr);
	g_free(progress->shown);
	progress->shown = NULL;
}
