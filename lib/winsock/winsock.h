/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the Winsock part share. */
#ifndef WAYBILL_LIB_WINSOCK_H
#define WAYBILL_LIB_WINSOCK_H

#include <waybill/winsock.h>

/* The Windows error of an errno. */
int winsock_error(int error);

#endif
