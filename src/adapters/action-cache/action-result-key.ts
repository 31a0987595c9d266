import { type Digest, digestKey } from '../../domain/digest.ts';

/** A text that is equal for equal entries of an action cache. Whatever the instance's name holds, it comes last. */
export function actionResultKey(instanceName: string, actionDigest: Digest): string {
  return `${digestKey(actionDigest)} ${instanceName}`;
}
