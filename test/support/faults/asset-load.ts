import {
  FetchBlobRequest,
  type FetchBlobResponse,
  FetchService,
  PushBlobRequest,
  PushService,
} from '../../../src/proto/build/bazel/remote/asset/v1/remote_asset.ts';
import { blobOf, Tenant } from '../tenant.ts';
import { pause } from './fault.ts';
import { ReplicaLoad } from './side-load.ts';

/** Between two assets, in milliseconds: this is not what the machine is for. */
const REST_MS = 100;

/** Blobs that are stored, pushed under a URI, fetched by it and read, each call at another replica. */
export class AssetLoad extends ReplicaLoad {
  readonly kind = 'assets';
  readonly #pushed = new Map<string, string>();

  override async broken(): Promise<string[]> {
    const found: string[] = [];
    for (const [uri, right] of this.#pushed) {
      const fetched = this.attempt(`asset ${uri}`, (attempts) => attempts.call('FetchBlob', () => this.#fetch(uri)));
      const read = await fetched.catch(String);
      if (read !== right) found.push(`the asset ${uri} is '${read}', not '${right}'`);
    }
    return found;
  }

  protected async one(): Promise<void> {
    const number = this.anyNumber();
    const uri = `https://assets.example/${number}`;
    const right = `asset ${number}\n`;
    const blob = blobOf(right);
    const fetched = await this.attempt(`asset ${uri}`, async (attempts) => {
      await attempts.call('upload', () => new Tenant(this.replica(), '').upload(blob));
      const push = PushBlobRequest.create({ uris: [uri], blobDigest: blob.digest });
      await attempts.call('PushBlob', () => this.replica().unary(PushService.pushBlob, push));
      return attempts.call('FetchBlob', () => this.#fetch(uri));
    });
    if (fetched !== right) throw new Error(`the asset ${uri} is '${fetched}', not '${right}'`);
    this.#pushed.set(uri, right);
    await pause(REST_MS);
  }

  /** @throws what a call fails with, or the answer, which has a status of its own. */
  async #fetch(uri: string): Promise<string> {
    const request = FetchBlobRequest.create({ uris: [uri] });
    const { blobDigest } = checked(await this.replica().unary(FetchService.fetchBlob, request));
    if (blobDigest === undefined) return '';
    const tenant = new Tenant(this.replica(), '');
    return (await tenant.read(tenant.readName(blobDigest))).toString();
  }
}

function checked(answer: FetchBlobResponse): FetchBlobResponse {
  const { code = 0, message = '' } = answer.status ?? {};
  if (code === 0) return answer;
  throw Object.assign(new Error(`FetchBlob answers ${message}`), { code, details: message });
}
