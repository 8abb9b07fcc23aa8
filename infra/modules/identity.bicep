metadata description = 'The identity by which the app reaches everything; it exists before the app, and so do its roles.'

@description('Name of the identity.')
param name string

@description('Where it is.')
param location string

@description('Its tags.')
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Resource ID, by which the app is given the identity.')
output id string = identity.id

@description('Client ID, by which code asks for its tokens.')
output clientId string = identity.properties.clientId

@description('Object ID, to which roles are assigned.')
output principalId string = identity.properties.principalId
