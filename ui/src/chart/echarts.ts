// SPDX-License-Identifier: Apache-2.0
// The parts of ECharts that are used, and nothing else of it.
import { LineChart } from "echarts/charts";
import { GridComponent, TooltipComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

use([LineChart, GridComponent, TooltipComponent, CanvasRenderer]);

export { init };
export type { EChartsType } from "echarts/core";
