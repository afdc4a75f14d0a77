// Is this delivery authentic, to the Standard Webhooks package?
// usage: node verify.mjs SECRET FILE    a JSON file of a delivery's body and headers
import { readFileSync } from 'node:fs';

import { Webhook } from 'standardwebhooks';

const [secret, file] = process.argv.slice(2);
const { body, headers } = JSON.parse(readFileSync(file, 'utf8'));
console.log(new Webhook(secret).verify(body, headers).type);
