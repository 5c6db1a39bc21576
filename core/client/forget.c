/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forget.c - an allocator that forgets, for the libraries that carry secrets.
 *
 * Called when the first entry of a pipeline gets its clients.
 */
#include <core/client/forget.h>
#include <curl/curl.h>
#include <errno.h>
#include <lber.h>
#include <malloc.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

static void
forget(void *memory)
{
	if (memory)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

static void *
regrow(void *memory, size_t size)
{
	size_t had = memory ? malloc_usable_size(memory) : 0;
	void *larger;

	if (memory && size <= had)
		return memory;
	larger = malloc(size);
	if (larger && memory) {
		memcpy(larger, memory, had);
		forget(memory);
	}
	return larger;
}

/* ---- as liblber wants it --------------------------------------------------------------------- */

static void *
lber_malloc(ber_len_t size, void *context)
{
	return malloc(size);
}

static void *
lber_calloc(ber_len_t count, ber_len_t size, void *context)
{
	return calloc(count, size);
}

static void *
lber_realloc(void *memory, ber_len_t size, void *context)
{
	return regrow(memory, size);
}

static void
lber_free(void *memory, void *context)
{
	forget(memory);
}

/* ---- start ----------------------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool started;

static void
start(void)
{
	BerMemoryFunctions functions = { lber_malloc, lber_calloc, lber_realloc, lber_free };

	started = sodium_init() >= 0 &&
		  ber_set_option(NULL, LBER_OPT_MEMORY_FNS, &functions) == LBER_OPT_SUCCESS &&
		  curl_global_init_mem(
		      CURL_GLOBAL_DEFAULT, malloc, forget, regrow, strdup, calloc) == CURLE_OK;
}

int
forget_start(void)
{
	pthread_once(&once, start);
	return started ? 0 : -ENOTSUP;
}
