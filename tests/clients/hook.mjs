// What an app for React Native does with our server: asks for a session as the SDK's hook does, and shows what it cannot.
// usage: node hook.mjs <origin> <path> [<body>]
import { request } from "node:http";

const [origin, path, body] = process.argv.slice(2);

// A phone's fetch: Node's own calls itself a browser, by Sec-Fetch-Mode.
function fetch(url, { method, headers, body }) {
  return new Promise((resolve, reject) => {
    const call = request(url, { method, headers }, async (response) => {
      const chunks = await response.toArray();
      const text = Buffer.concat(chunks).toString();
      const ok = response.statusCode >= 200 && response.statusCode < 300;
      resolve({ ok, json: async () => JSON.parse(text) });
    });
    call.on("error", reject);
    call.end(body);
  });
}

async function fetchVerification() {
  const response = await fetch(origin + path, {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/json", "User-Agent": "okhttp/4.12.0" },
    body,
  });
  const answer = await response.json().catch(() => null);
  if (!response.ok) {
    const told = typeof answer?.error === "string" ? answer.error : answer?.error?.message;
    throw new Error(told || "Something went wrong");
  }
  const sessionId = answer.id?.trim();
  const ephemeralKeySecret = answer.ephemeral_key_secret?.trim();
  if (!sessionId || !ephemeralKeySecret) throw new Error("the answer opens nothing");
  return { sessionId, ephemeralKeySecret };
}

try {
  console.log(JSON.stringify(await fetchVerification()));
} catch (error) {
  console.log(JSON.stringify({ shown: error.message }));
}
