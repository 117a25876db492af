/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/openapi.h"

__asm__(".section .rodata\n"
	".global openapi_json\n"
	".global openapi_json_len\n"
	".balign 8\n"
	"openapi_json:\n"
	".incbin \"boxes/http/openapi.json\"\n"
	"openapi_json_end:\n"
	".byte 0\n"
	".balign 8\n"
	"openapi_json_len:\n"
	".quad openapi_json_end - openapi_json\n"
	".previous\n");
