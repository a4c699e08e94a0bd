/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay/sniff.c on arbitrary bytes. The first byte says how they are split, and a name that
 * depended on that would be a bug: whole or in pieces, the outcome must be the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sniff whole = { 0 }, pieces = { 0 };
	size_t at, piece;

	if (!size)
		return 0;
	piece = data[0] + 1;
	data++;
	size--;
	sniff_feed(&whole, data, size);
	for (at = 0; at < size; at += piece)
		sniff_feed(&pieces, data + at, size - at < piece ? size - at : piece);
	/* In pieces it may take longer to find out that there is nothing. */
	if (whole.state != pieces.state &&
	    !(whole.state == SNIFF_NOTHING && pieces.state == SNIFF_MORE) &&
	    !(whole.state == SNIFF_MORE && pieces.state == SNIFF_NOTHING))
		abort();
	if (whole.name && strcmp(whole.name, pieces.name))
		abort();
	sniff_free(&whole);
	sniff_free(&pieces);
	return 0;
}
