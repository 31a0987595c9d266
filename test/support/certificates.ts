import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { removeFolder, temporaryFolder } from './throwaway-process.ts';

/** A certificate for localhost and 127.0.0.1 that signs itself, made by the system's openssl. */
export class SelfSignedCertificate implements AsyncDisposable {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  get certificateFile(): string {
    return join(this.#folder, 'certificate.pem');
  }

  get privateKeyFile(): string {
    return join(this.#folder, 'key.pem');
  }

  static async create(): Promise<SelfSignedCertificate> {
    const certificate = new SelfSignedCertificate(await temporaryFolder('certificate'));
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    const files = ['-keyout', certificate.privateKeyFile, '-out', certificate.certificateFile];
    await promisify(execFile)('openssl', ['req', '-x509', ...curve, ...names, ...files]);
    return certificate;
  }

  /**
   * Makes a certificate that is signed by this one.
   *
   * @param names further ones, as openssl wants them: `DNS:localhost,IP:127.0.0.1`.
   */
  async issue(
    commonName: string,
    names?: string,
  ): Promise<{ readonly certificateFile: string; readonly privateKeyFile: string }> {
    const issued = {
      certificateFile: join(this.#folder, `${commonName}.pem`),
      privateKeyFile: join(this.#folder, `${commonName}-key.pem`),
    };
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    const signer = ['-CA', this.certificateFile, '-CAkey', this.privateKeyFile, '-subj', `/CN=${commonName}`];
    const usage = ['-addext', 'basicConstraints=critical,CA:FALSE'];
    if (names !== undefined) usage.push('-addext', `subjectAltName=${names}`);
    const files = ['-keyout', issued.privateKeyFile, '-out', issued.certificateFile];
    await promisify(execFile)('openssl', ['req', '-x509', ...curve, ...signer, ...usage, ...files]);
    return issued;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return removeFolder(this.#folder);
  }
}
