/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.h - what posternctl prints: rows of named fields, a table for people or JSON.
 *
 * The `struct pn_console` of the module contract. One thread.
 */
#ifndef CORE_CTL_CONSOLE_H
#define CORE_CTL_CONSOLE_H

#include <jansson.h>
#include <postern/command.h>
#include <stdio.h>

struct pn_console {
	bool json;
	bool single;  /* as JSON: its one row alone, in no array */
	json_t *rows; /* array of objects, made by console_open */
	json_t *row;  /* the last of them; borrowed */
};

int console_open(struct pn_console *console, bool json);
/* A whole row at once; takes the reference. */
/* A JSON string of whatever came from outside: what is not UTF-8 in it is U+FFFD. NULL: null. */
json_t *console_text(const char *text);
void console_add(struct pn_console *console, json_t *row);
/* Prints everything to `out`: a JSON array, or columns, or for a single row its fields by line. */
void console_print(struct pn_console *console, FILE *out);
/* Text for a terminal: what would steer it or change the order of text is written as its number. */
void console_write(FILE *out, const char *text);
void console_close(struct pn_console *console);

#endif
