// SPDX-License-Identifier: Apache-2.0
// A figure that may be an estimate: ≈ before it, its error on hover and for screen readers.

interface Props {
  text: string;
  approx: boolean;
  /** Half the width of the 95 % interval, relative; null: none can be given. */
  error?: number | null | undefined;
  of?: string;
}

export function errorWords(error: number | null | undefined): string {
  if (error === null || error === undefined) return "Scaled from sampled packets; no error can be given.";
  const share = error * 100;
  return `Scaled from sampled packets: ± ${share < 10 ? share.toFixed(1) : share.toFixed(0)} % (95 % confidence).`;
}

export function Approx({ text, approx, error, of = "" }: Props) {
  if (!approx) return <>{text}</>;
  return (
    <abbr className="fg-approx" title={`${of}${of ? ": " : ""}${errorWords(error)}`}>
      ≈{"\u202f"}
      {text}
    </abbr>
  );
}
