/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What user space fixes before the programs are loaded. */
#ifndef FLOWGAUGE_SETTINGS_H
#define FLOWGAUGE_SETTINGS_H

#include "abi.h"

const volatile struct settings settings SEC(".rodata.settings");

#endif
