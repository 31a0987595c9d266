import { join } from 'node:path';
import {
  CreateBucketCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { freePort } from './free-port.ts';
import { removeFolder, ThrowawayProcess, temporaryFolder } from './throwaway-process.ts';

const CREDENTIALS = { accessKeyId: 'test:tester', secretAccessKey: 'testing' };

/** An S3 server of the test's own: OpenStack Swift of the system's python3-swift package, on 127.0.0.1. */
export class S3Server implements AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  readonly process: ThrowawayProcess;
  readonly client: S3Client;
  #buckets = 0;

  private constructor(port: number, folder: string, process: ThrowawayProcess) {
    this.port = port;
    this.folder = folder;
    this.process = process;
    this.client = new S3Client({
      endpoint: this.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { ...CREDENTIALS },
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  static async start(): Promise<S3Server> {
    const port = await freePort();
    const folder = await temporaryFolder('s3');
    const process = new ThrowawayProcess({
      name: 's3-server.py',
      // The system's interpreter: another one in the path would not find the system's packages.
      command: '/usr/bin/python3',
      args: [join(import.meta.dirname, 's3-server.py'), folder, String(port)],
      ready: async () => (await fetch(`http://127.0.0.1:${port}/`)).status > 0,
    });
    await process.start();
    return new S3Server(port, folder, process);
  }

  /** Makes a bucket of a name that no other test has. */
  async createBucket(name = `warren-${++this.#buckets}`): Promise<string> {
    await this.client.send(new CreateBucketCommand({ Bucket: name }));
    return name;
  }

  /** The settings of a store with this bucket. */
  configuration(bucket: string) {
    return { bucket, endpoint: this.endpoint, credentials: { ...CREDENTIALS } };
  }

  /** The keys of all objects of a bucket, in order. */
  async keys(bucket: string): Promise<string[]> {
    const { Contents = [] } = await this.client.send(new ListObjectsV2Command({ Bucket: bucket }));
    return Contents.map(({ Key = '' }) => Key);
  }

  /** The keys of uploads in parts that are neither completed nor dropped. */
  async unfinishedUploads(bucket: string): Promise<string[]> {
    const { Uploads = [] } = await this.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    return Uploads.map(({ Key = '' }) => Key);
  }

  /** Puts other bytes into the place of an object, behind everybody's back. */
  async overwrite(bucket: string, key: string, bytes: Uint8Array): Promise<void> {
    await this.client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.destroy();
    await this.process.stop('SIGKILL');
    await removeFolder(this.folder);
  }
}
