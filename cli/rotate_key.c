// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill rotate-key`: a new key for the MAC of the records, made at random. From then on only
 * the kernel has it.
 */
#include <stdio.h>

#include "command.h"
#include "json.h"

static const char documentation[] =
	"Make a new key for the records. Records of the old key are good until they expire, so no "
	"connection notices.\v"
	"EXAMPLES:\n"
	"  waybill rotate-key\n" EXIT_STATUS_HELP;

int command_rotate_key(int argc, char **argv)
{
	static const struct argp argp = { NULL,           common_only, NULL, documentation,
					  common_options, NULL,        NULL };
	struct message message = { "" };
	struct common common = { 0 };
	struct instance *instance;
	uint32_t id = 0;
	int status;

	command_parse(&argp, argc, argv, &common);
	if (require_root())
		return EXIT_FAILED;
	status = open_instance(&common, &instance);
	if (status)
		return status;
	if (instance_rotate_key(instance, &id, &message))
		status = complain("%s", message.text);
	else if (common.json)
		json_print(json_pack("{s:s, s:I}", "instance", common.instance, "key",
				     (json_int_t)id));
	else
		printf("records of instance %s are made with key %u from now on\n", common.instance,
		       id);
	instance_close(instance);
	return status;
}
