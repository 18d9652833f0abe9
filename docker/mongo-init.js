// Begins the replica set of compose.yaml and makes the server's user, for mongosh.
// Harmless when both are there.
const admin = db.getSiblingDB('admin');
admin.auth('root', process.env.MONGO_ROOT_PASSWORD);
try {
  rs.status();
} catch (e) {
  if (e.codeName !== 'NotYetInitialized') throw e;
  rs.initiate({ _id: 'rs0', members: [{ _id: 0, host: 'mongo:27017' }] });
}
for (let i = 0; !admin.hello().isWritablePrimary; i++) {
  if (i === 60) throw new Error('no primary after a minute');
  sleep(1000);
}
const parley = db.getSiblingDB('parley');
const user = { pwd: process.env.PARLEY_MONGO_PASSWORD, roles: [{ role: 'readWrite', db: 'parley' }] };
if (parley.getUser('parley')) {
  parley.updateUser('parley', user);
} else {
  parley.createUser({ user: 'parley', ...user });
}
