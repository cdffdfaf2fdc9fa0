// SPDX-License-Identifier: Apache-2.0
// Values over time as small bars; grey at the ground: nothing was heard then. The last step is not over, so that it is never grey.
import { largest, type Values } from "./history";

interface Props {
  values: Values;
  /** What the tallest bar stands for; left out: the largest value. */
  most?: number;
  /** From which value on it hurts. */
  badFrom: number;
  /** The step that is pointed at. */
  at?: number | undefined;
}

const HEIGHT = 24;
/** What is not 0 can be seen, however small beside the largest. */
const LEAST = 3;

export function Bars({ values, most, badFrom, at }: Props) {
  const top = most ?? largest(values);
  return (
    <svg className="fg-bars" viewBox={`0 0 ${Math.max(values.length, 1)} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden>
      {at !== undefined && <rect className="fg-bar-at" x={at} y={0} width={1} height={HEIGHT} />}
      {values.map((value, step) => {
        if (value === null) return step < values.length - 1 && <rect key={step} className="fg-bar-none" x={step} y={HEIGHT - LEAST} width={1} height={LEAST} />;
        const height = value > 0 && top > 0 ? LEAST + ((HEIGHT - LEAST) * value) / top : 0;
        return height > 0 && <rect key={step} className={value >= badFrom ? "fg-bar fg-bar-bad" : "fg-bar"} x={step + 0.08} y={HEIGHT - height} width={0.84} height={height} />;
      })}
    </svg>
  );
} // prettier-ignore
