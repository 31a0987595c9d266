import type { Compressor } from '../domain/compressor.ts';
import { Compressor_Value } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';

const TO_WIRE: Readonly<Record<Compressor, Compressor_Value>> = {
  identity: Compressor_Value.IDENTITY,
  zstd: Compressor_Value.ZSTD,
  deflate: Compressor_Value.DEFLATE,
  brotli: Compressor_Value.BROTLI,
};

const FROM_WIRE = new Map(Object.entries(TO_WIRE).map(([name, value]) => [value as number, name as Compressor]));

export function compressorToWire(compressor: Compressor): Compressor_Value {
  return TO_WIRE[compressor];
}

/** The compressor of this number, or undefined where it is not known. */
export function compressorFromWire(value: number): Compressor | undefined {
  return FROM_WIRE.get(value);
}
